;; Machine code where a component belongs.
;; kind: target
;; expect: invalid-plugin
;; says: is native code
;; damage: elf
(component)
