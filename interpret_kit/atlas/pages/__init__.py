"""The pages of an atlas: what each kind shows, and its template."""
