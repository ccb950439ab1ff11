//! What compiling the body of one function takes memory for, read from its operators.

use wasmtime::wasmparser::{BinaryReaderError, BlockType, FunctionBody, Operator};

/// How many values go in and out.
#[derive(Clone, Copy, Default)]
pub(super) struct Arity {
    pub(super) parameters: u64,
    pub(super) results: u64,
}

impl Arity {
    fn values(self) -> u64 {
        self.parameters + self.results
    }
}

/// What a body names by its number.
pub(super) struct Types<'a> {
    /// Of a module's types.
    pub(super) arities: &'a [Arity],
    /// The type of each function, the imported ones first.
    pub(super) functions: &'a [u32],
}

impl Types<'_> {
    /// None has none: what is wrong then, the compiler says.
    pub(super) fn arity(&self, ty: u32) -> Arity {
        self.arities.get(ty as usize).copied().unwrap_or_default()
    }

    pub(super) fn of_function(&self, function: usize) -> Arity {
        let ty = self.functions.get(function);
        ty.map_or_else(Arity::default, |ty| self.arity(*ty))
    }

    fn of_block(&self, ty: BlockType) -> Arity {
        match ty {
            BlockType::Empty => Arity::default(),
            BlockType::Type(_) => Arity {
                parameters: 0,
                results: 1,
            },
            BlockType::FuncType(ty) => self.arity(ty),
        }
    }
}

/// What there is for the compiler to make of a body.
#[derive(Debug, Default)]
pub(super) struct Body {
    /// Bytes of memory that compiling it takes, as an estimate that is rather too high.
    pub(super) cost: u64,
    /// Where control comes together or parts.
    pub(super) blocks: u64,
    /// Parameters and locals, and what blocks take and leave, of which the compiler
    /// makes variables.
    pub(super) variables: u64,
}

/// Of each value that is handed to a function, or comes from it.
const COST_OF_VALUE: u64 = 500;

/// Of each target of a `br_table`.
const COST_OF_TARGET: u64 = 1_000;

impl Body {
    /// Reads a body, whose function has these parameters.
    pub(super) fn read(
        body: &FunctionBody<'_>,
        parameters: u64,
        types: &Types<'_>,
    ) -> Result<Self, BinaryReaderError> {
        let mut read = Self {
            cost: 0,
            blocks: 1,
            variables: parameters,
        };
        for group in body.get_locals_reader()? {
            read.variables += u64::from(group?.0);
        }
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            read.add(&operators.read()?, types);
        }
        Ok(read)
    }

    fn add(&mut self, operator: &Operator<'_>, types: &Types<'_>) {
        self.cost += cost(operator);
        match operator {
            Operator::Block { blockty } => {
                self.blocks += 1;
                self.variables += types.of_block(*blockty).results;
            }
            // A loop asks for fuel each time.
            Operator::Loop { blockty } | Operator::If { blockty } => {
                self.blocks += 3;
                self.variables += types.of_block(*blockty).values();
            }
            Operator::BrIf { .. } => self.blocks += 1,
            Operator::BrTable { targets } => {
                let targets = u64::from(targets.len());
                self.blocks += 1 + targets;
                self.cost += targets * COST_OF_TARGET;
            }
            // An entry of a table is made when it is used first.
            Operator::TableGet { .. } => self.blocks += 2,
            Operator::CallIndirect { type_index, .. } => {
                self.blocks += 2;
                self.cost += types.arity(*type_index).values() * COST_OF_VALUE;
            }
            Operator::Call { function_index } => {
                self.cost += types.of_function(*function_index as usize).values() * COST_OF_VALUE;
            }
            _ => {}
        }
    }
}

/// A memory access with a larger offset is checked by instructions of its own.
///
/// Source: `engine.rs`, `memory_guard_size`.
const GUARDED_BYTES: u64 = 32 << 20;

/// Bytes of memory that compiling an operator takes at most, by its kind: its
/// instructions before and after they are chosen, their registers, its machine code,
/// and what is noted of that. What is not named has the cost of the dearest, so that
/// none is too cheap.
///
/// Measured as the peak of a process that compiles ten thousand of each in one function.
fn cost(operator: &Operator<'_>) -> u64 {
    #[allow(clippy::enum_glob_use, reason = "these are a hundred names")]
    use Operator::*;
    match operator {
        // The block has its cost.
        Else | End => 0,
        Nop | Drop | Return | Unreachable | Br { .. } => 100,
        LocalGet { .. } | LocalSet { .. } | LocalTee { .. } => 100,
        I32Const { .. } | I64Const { .. } | F32Const { .. } | F64Const { .. } => 100,
        I32Load { memarg }
        | I64Load { memarg }
        | F32Load { memarg }
        | F64Load { memarg }
        | I32Load8S { memarg }
        | I32Load8U { memarg }
        | I32Load16S { memarg }
        | I32Load16U { memarg }
        | I64Load8S { memarg }
        | I64Load8U { memarg }
        | I64Load16S { memarg }
        | I64Load16U { memarg }
        | I64Load32S { memarg }
        | I64Load32U { memarg }
        | I32Store { memarg }
        | I64Store { memarg }
        | F32Store { memarg }
        | F64Store { memarg }
        | I32Store8 { memarg }
        | I32Store16 { memarg }
        | I64Store8 { memarg }
        | I64Store16 { memarg }
        | I64Store32 { memarg }
            if memarg.offset < GUARDED_BYTES =>
        {
            400
        }
        Block { .. } | GlobalGet { .. } | GlobalSet { .. } | MemorySize { .. } => 1_000,
        I32Eq | I32Ne | I32LtS | I32LtU | I32GtS | I32GtU | I32LeS | I32LeU | I32GeS | I32GeU => {
            700
        }
        I64Eq | I64Ne | I64LtS | I64LtU | I64GtS | I64GtU | I64LeS | I64LeU | I64GeS | I64GeU => {
            700
        }
        I32Sub | I32And | I32Or | I32Xor | I64Sub | I64And | I64Or | I64Xor => 700,
        I32Extend8S | I32Extend16S | I64Extend8S | I64Extend16S | I64Extend32S => 700,
        I32WrapI64 | I64ExtendI32S | I64ExtendI32U => 700,
        I32Eqz | I32Add | I64Add => 1_500,
        I32Mul | I32Shl | I32ShrS | I32ShrU => 2_500,
        I64Eqz | I64Mul | I64Shl | I64ShrS | I64ShrU => 2_500,
        Select | RefFunc { .. } | DataDrop { .. } | ElemDrop { .. } | Call { .. } => 2_500,
        MemoryGrow { .. } | MemoryCopy { .. } | MemoryFill { .. } | MemoryInit { .. } => 5_000,
        If { .. } | BrIf { .. } | BrTable { .. } => 6_500,
        Loop { .. } => 11_000,
        // Calls by a table, which is filled when it is used, and what else there is of
        // tables; numbers with a fraction, whose NaNs are all made the same; rotations
        // and vectors.
        _ => 23_000,
    }
}
