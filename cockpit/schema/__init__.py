"""The description of the API (OpenAPI 3.1), made from the types that the code itself encodes and decodes."""
