;; A component that is nothing.
;; kind: target
;; expect: invalid-plugin
;; says: exports nothing
(component)
