//go:build wasip1

package resolver

import (
	"unsafe"

	"plugin/sym"
)

//go:wasmexport sym:postgres/resolver@0.1.0#resolve-user
func resolveUser(request unsafe.Pointer) unsafe.Pointer {
	return sym.CallResolver(request, resolve)
}
