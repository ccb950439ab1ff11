;; The most usual mistake.
;; kind: target
;; expect: invalid-plugin
;; says: is a core module
(module (memory 1) (func (export "setup") unreachable))
