package environment

import "context"

func (e *Environment) caFile() string { return "/etc/ssl/certs/ca-certificates.crt" }
func (e *Environment) startInternet(ctx context.Context) error { return nil }
func ServeInternet(ctx context.Context) error { return nil }
