"""What operators watch: metrics and logs. It knows the field's words and no service."""
