package main

import (
	"strconv"
	"strings"

	"plugin/sym"
	"plugin/sym/resolver"
)

func init() { resolver.Export(resolveUser) }

func resolveUser(request *sym.Request) (string, error) {
	if err := obey(request); err != nil {
		return "", err
	}
	if text, ok := flood(); ok {
		return text, nil
	}
	if what, ok := sym.Config("show"); ok {
		if key, ok := strings.CutPrefix(what, "list."); ok {
			return showList(key)
		}
		if text, ok := show(request, what); ok {
			return text, nil
		}
		return "absent", nil
	}
	username := request.Requester.Username
	email, ok := sym.ParseEmail(username)
	if !ok {
		return "", sym.Denied("Not a person: %s", username)
	}
	if domain, ok := sym.Config("domain"); ok && !email.IsIn(domain) {
		return "", sym.Denied("Not of %s", domain)
	}
	if request.Strategy == sym.TemporaryUserStrategy {
		return email.LocalPart + "_" + request.RunID[:8], nil
	}
	return email.LocalPart, nil
}

func showList(key string) (string, error) {
	items, err := sym.ConfigList(key)
	if err != nil || items == nil {
		return "absent", err
	}
	return strconv.Itoa(len(items)) + ":" + strings.Join(items, "|"), nil
}

func show(request *sym.Request, what string) (string, bool) {
	if kind, key, ok := strings.Cut(what, "."); ok {
		if kind == "config" {
			return sym.Config(key)
		}
		pairs := map[string]map[string]string{
			"setting":  request.Target.Settings,
			"identity": request.Requester.Identities,
			"context":  request.Context,
		}
		text, ok := pairs[kind][key]
		return text, ok
	}
	text := ""
	switch what {
	case "run-id":
		text = request.RunID
	case "strategy":
		text = request.Strategy
	case "username":
		text = request.Requester.Username
	case "name":
		text = request.Requester.Name
	case "approver":
		if request.Approver != nil {
			text = request.Approver.Username
		}
	case "target":
		text = request.Target.Name
	case "label":
		text = request.Target.Label
	case "flow":
		text = request.Flow
	case "reason":
		text = request.Reason
	case "duration":
		if request.DurationSeconds != nil {
			text = strconv.FormatUint(uint64(*request.DurationSeconds), 10)
		}
	case "event-time":
		text = request.EventTime
	case "quotes":
		text = strconv.Itoa(strings.Count(request.EventJSON, `"`))
	case "config":
		text = strconv.Itoa(len(sym.ConfigAll()))
	}
	return text, text != ""
}
