;; No bytes at all.
;; kind: target
;; expect: invalid-plugin
;; says: is no WebAssembly
;; damage: all
(component)
