package main

import (
	"slices"
	"strings"

	"plugin/sym"
	"plugin/sym/resolver"
)

func init() { resolver.Export(resolveUser) }

// The part of the address before the @, for people of the domains that are
// configured.
func resolveUser(request *sym.Request) (string, error) {
	email, ok := sym.ParseEmail(request.Requester.Username)
	if !ok {
		return "", sym.Denied("Only people get access here, bots don't.")
	}
	domains, err := sym.RequireConfigList("domains")
	if err != nil {
		return "", err
	}
	if !slices.ContainsFunc(domains, email.IsIn) {
		return "", sym.Denied("Only people of %s get access here.", strings.Join(domains, ", "))
	}
	switch request.Strategy {
	case sym.RoleStrategy:
		return email.LocalPart, nil
	case sym.TemporaryUserStrategy:
		// Another name for each run: the end of its id, which may be short.
		end := max(0, len(request.RunID)-8)
		return email.LocalPart + "_" + request.RunID[end:], nil
	default:
		return "", sym.Failed("unknown-strategy",
			"strategy is `%s`, this plugin knows `role` and `temporary-user`", request.Strategy)
	}
}
