"""SCIM 2.0: directories say who is here, and who is not any more."""
