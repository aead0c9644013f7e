"""Directories: LDAP and Active Directory, to sign in at and to follow."""
