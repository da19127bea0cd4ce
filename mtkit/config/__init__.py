"""Settings and nothing but settings: typed models, strict YAML, --set, explain, JSON Schema."""
