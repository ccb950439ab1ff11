;; From the future.
;; kind: target
;; expect: invalid-plugin
;; says: another version of WebAssembly
;; damage: version
(component)
