package main

import (
	"fmt"
	"strconv"
	"strings"

	"plugin/sym"
	"plugin/sym/target"
)

func init() { target.Export(setup) }

func setup(request *sym.Request, _ string) ([]sym.Step, error) {
	if err := obey(request); err != nil {
		return nil, err
	}
	if order, _ := sym.Config("do"); order == "nothing" {
		return []sym.Step{nil}, nil
	}
	if text, ok := flood(); ok {
		return []sym.Step{sym.GrantRole(text)}, nil
	}
	settings := request.Target.Settings
	if roles, ok := settings["roles"]; ok {
		count, err := strconv.Atoi(roles)
		if err != nil {
			return nil, err
		}
		steps := []sym.Step{}
		for i := range count {
			steps = append(steps, sym.GrantRole(fmt.Sprintf("role_%d", i+1)))
		}
		return steps, nil
	}
	role, ok := settings["role"]
	if !ok {
		role = "readonly"
	}
	steps := []sym.Step{sym.GrantRole(role)}
	if request.Strategy != sym.TemporaryUserStrategy {
		return steps, nil
	}
	if tables, ok := settings["tables"]; ok {
		for _, table := range strings.Split(tables, ",") {
			steps = append(steps, sym.Sql{
				SQL:  "GRANT SELECT ON TABLE {table} TO {username}",
				Args: []sym.Arg{{Name: "table", Value: sym.Identifier(table)}},
			})
		}
	}
	if note, ok := settings["note"]; ok {
		steps = append(steps, sym.Sql{
			SQL:  "INSERT INTO notes VALUES ({note})",
			Args: []sym.Arg{{Name: "note", Value: sym.Literal(note)}},
		})
	}
	return steps, nil
}
