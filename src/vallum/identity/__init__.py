"""Who is asking, proven: accounts, sign-in, single sign-on and provisioning."""
