package main

import (
	"plugin/sym"
	"plugin/sym/resolver"
)

func init() { resolver.Export(resolveUser) }

// The part of the address before the @, for people of the domain that is
// configured.
func resolveUser(request *sym.Request) (string, error) {
	email, ok := sym.ParseEmail(request.Requester.Username)
	if !ok {
		return "", sym.Denied("Only people get access here, bots don't.")
	}
	domain, err := sym.RequireConfig("domain")
	if err != nil {
		return "", err
	}
	if !email.IsIn(domain) {
		return "", sym.Denied("Only people of %s get access here.", domain)
	}
	switch request.Strategy {
	case sym.RoleStrategy:
		return email.LocalPart, nil
	case sym.TemporaryUserStrategy:
		// Another name for each run.
		return email.LocalPart + "_" + request.RunID[:8], nil
	default:
		return "", sym.Failed("unknown-strategy",
			"strategy is `%s`, this plugin knows `role` and `temporary-user`", request.Strategy)
	}
}
