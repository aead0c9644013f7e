"""Single sign-on, whatever the protocol: providers, sign-ins under way, who is who, which groups follow."""
