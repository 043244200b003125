"""What people see: terminal tables, the live view, HTML, JSON."""
