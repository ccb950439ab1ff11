;; An instance of two of an instance of two, and so on: the compiler copies the whole tree each
;; time that it is named.
;; kind: target
;; expect: invalid-plugin
;; says: takes more than 83 MB of memory to compile
(component
    {types}
    (instance $i0)
    (instance $i1 (export "a" (instance $i0)) (export "b" (instance $i0)))
    (instance $i2 (export "a" (instance $i1)) (export "b" (instance $i1)))
    (instance $i3 (export "a" (instance $i2)) (export "b" (instance $i2)))
    (instance $i4 (export "a" (instance $i3)) (export "b" (instance $i3)))
    (instance $i5 (export "a" (instance $i4)) (export "b" (instance $i4)))
    (instance $i6 (export "a" (instance $i5)) (export "b" (instance $i5)))
    (instance $i7 (export "a" (instance $i6)) (export "b" (instance $i6)))
    (instance $i8 (export "a" (instance $i7)) (export "b" (instance $i7)))
    (instance $i9 (export "a" (instance $i8)) (export "b" (instance $i8)))
    (instance $i10 (export "a" (instance $i9)) (export "b" (instance $i9)))
    (instance $i11 (export "a" (instance $i10)) (export "b" (instance $i10)))
    (instance $i12 (export "a" (instance $i11)) (export "b" (instance $i11)))
    (instance $i13 (export "a" (instance $i12)) (export "b" (instance $i12)))
    (instance $i14 (export "a" (instance $i13)) (export "b" (instance $i13)))
    (instance $i15 (export "a" (instance $i14)) (export "b" (instance $i14)))
    (instance $i16 (export "a" (instance $i15)) (export "b" (instance $i15)))
    (instance $i17 (export "a" (instance $i16)) (export "b" (instance $i16)))
    (instance (export "a" (instance $i17)) (export "b" (instance $i17)))
    (instance (export "a" (instance $i17)) (export "b" (instance $i17)))
    (instance (export "a" (instance $i17)) (export "b" (instance $i17)))
    (instance (export "a" (instance $i17)) (export "b" (instance $i17)))
    (instance (export "a" (instance $i17)) (export "b" (instance $i17)))
    (instance (export "a" (instance $i17)) (export "b" (instance $i17)))
    (instance (export "a" (instance $i17)) (export "b" (instance $i17)))
    (instance (export "a" (instance $i17)) (export "b" (instance $i17))))
