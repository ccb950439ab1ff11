//! Components of any size, for measurements.

/// Instructions between two ends of a function: about a kilobyte.
const STEPS_IN_FUNCTION: usize = 160;

/// The component with a core module of about this many bytes added, which is
/// compiled with it and does nothing.
pub fn pad(mut component: Vec<u8>, bytes: usize) -> Vec<u8> {
    let module = module(bytes);
    // Section 1 of a component is a core module.
    component.push(1);
    length(&mut component, module.len());
    component.extend(module);
    component
}

/// Functions `(i32) -> i32` of arithmetic, no two alike.
fn module(bytes: usize) -> Vec<u8> {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let mut bodies = Vec::new();
    let mut count = 0;
    while bodies.len() < bytes {
        // No locals; the argument; a number and what to do with it, again and
        // again; the end.
        let mut body = vec![0, 0x20, 0];
        for _ in 0..STEPS_IN_FUNCTION {
            body.push(0x41);
            // Positive, so that it reads alike signed and unsigned.
            length(&mut body, (random.next() >> 40) as usize | 1 << 21);
            // xor, add, mul, sub, rotl.
            body.push([0x73, 0x6a, 0x6c, 0x6b, 0x77][(random.next() % 5) as usize]);
        }
        body.push(0x0b);
        length(&mut bodies, body.len());
        bodies.extend(body);
        count += 1;
    }
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    section(&mut module, 1, &[1, 0x60, 1, 0x7f, 1, 0x7f]);
    let mut functions = Vec::new();
    length(&mut functions, count);
    functions.resize(functions.len() + count, 0);
    section(&mut module, 3, &functions);
    let mut code = Vec::new();
    length(&mut code, count);
    code.extend(bodies);
    section(&mut module, 10, &code);
    module
}

fn section(module: &mut Vec<u8>, id: u8, contents: &[u8]) {
    module.push(id);
    length(module, contents.len());
    module.extend(contents);
}

/// LEB128. Its highest group keeps bit 6 clear for [`module`]'s numbers.
fn length(bytes: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// Xorshift: the same numbers each time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
