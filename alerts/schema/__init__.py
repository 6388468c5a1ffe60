"""How the API of alerts is described: what drf-spectacular reads beside the types themselves."""
