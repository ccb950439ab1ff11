package main

import (
	"plugin/sym"
	"plugin/sym/target"
)

func init() { target.Export(setup) }

// The role of the target's setting `role`; a temporary user may also read the
// table of its setting `table`.
func setup(request *sym.Request, username string) ([]sym.Step, error) {
	role, ok := request.Target.Settings["role"]
	if !ok {
		role = "readonly"
	}
	steps := []sym.Step{sym.GrantRole(role)}
	table, ok := request.Target.Settings["table"]
	if ok && request.Strategy == sym.TemporaryUserStrategy {
		sym.Info("%s may read %s", username, table)
		steps = append(steps, sym.Sql{
			SQL:  "GRANT SELECT ON TABLE {table} TO {username}",
			Args: []sym.Arg{{Name: "table", Value: sym.Identifier(table)}},
		})
	}
	return steps, nil
}
