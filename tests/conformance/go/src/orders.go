package main

import (
	"fmt"
	"strings"

	"plugin/sym"
)

// flood is two MiB: more than a plugin may answer.
func flood() (string, bool) {
	order, _ := sym.Config("do")
	if order != "flood" {
		return "", false
	}
	return strings.Repeat("x", 2<<20), true
}

// obey does what the configuration orders, in both functions.
func obey(request *sym.Request) error {
	if line, ok := sym.Config("log"); ok {
		sym.Info("%s", line)
	}
	if _, ok := sym.Config("levels"); ok {
		sym.Debug("one")
		sym.Info("two")
		sym.Warn("three")
		sym.Error("four")
	}
	if line, ok := sym.Config("print"); ok {
		fmt.Println(line)
	}
	order, _ := sym.Config("do")
	switch order {
	case "deny":
		return sym.Denied("Denied: %s", request.Requester.Username)
	case "fail":
		return sym.Failed("out-of-order", "Call the operator.")
	case "panic":
		panic("out of cheese")
	case "loop":
		for {
		}
	case "memory":
		for all := [][]byte{}; ; {
			all = append(all, make([]byte, 1<<20))
		}
	case "chatter":
		for i := range 1000 {
			sym.Info("line %d", i)
		}
	}
	return nil
}
