// Package target exports what a plugin's target means.
package target

import "plugin/sym"

var setup func(*sym.Request, string) ([]sym.Step, error)

// Export has the host call this function: what the user gets, all of it or
// nothing. Call it in an init function.
func Export(function func(*sym.Request, string) ([]sym.Step, error)) { setup = function }
