//go:build wasip1

package target

import (
	"unsafe"

	"plugin/sym"
)

//go:wasmexport sym:postgres/target-setup@0.1.0#setup
func setupTarget(parameters unsafe.Pointer) unsafe.Pointer {
	return sym.CallTarget(parameters, setup)
}
