;; WebAssembly as text.
;; kind: target
;; expect: invalid-plugin
;; says: is no WebAssembly
;; damage: text
(component)
