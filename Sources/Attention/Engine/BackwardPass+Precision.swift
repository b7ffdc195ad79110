import AttentionCore
import CKernels
import Tensors

extension Engine {
  /// Bytes of scratch that one backward tile needs.
  static func backwardScratchBytes(_ shape: AttentionShape, in context: ExecutionContext) -> Int {
    let isa = context.instructionSet.code
    let (headDim, valueDim) = (Int32(shape.headDim), Int32(shape.valueDim))
    return switch shape.precision {
    case .float32: attn_scratch_bytes(isa, headDim, valueDim, 1)
    case .bfloat16: attn_backward16_bytes(isa, headDim, valueDim)
    }
  }
}

/// The kernels of a backward tile, by the precision of the inputs. bfloat16 rows are up-converted as they are read; products
/// are those of float32.
extension BackwardPass {
  var isa: Int32 { context.instructionSet.code }

  func head(_ batch: Int, _ head: Int) -> KernelHead {
    KernelHead(
      shape, scale: scale, stages: stages, query: query, key: key, value: value, batch: batch, head: head,
      choices: context.choices)
  }

  /// Starts a tile.
  func begin(
    _ scratch: UnsafeMutableRawPointer, _ head: KernelHead, _ gradient: inout attn_gradient, _ rows: attn_list
  ) {
    switch head {
    case .float32(var head): attn_backward_begin(isa, scratch, &head, &gradient, rows)
    case .bfloat16(var head): attn_backward16_begin(isa, scratch, &head, &gradient, rows)
    }
  }

  /// Prefetches the keys, values and gradients of a run that comes after others.
  func prefetch(_ head: KernelHead, _ gradient: inout attn_gradient, _ keys: attn_list) {
    switch head {
    case .float32(var head): attn_backward_prefetch(&head, &gradient, keys)
    case .bfloat16(var head): attn_backward16_prefetch(&head, &gradient, keys)
    }
  }

  /// Warms the cache with them, sequentially.
  func warm(_ head: KernelHead, _ gradient: inout attn_gradient, _ keys: attn_list) {
    switch head {
    case .float32(var head): attn_backward_warm(&head, &gradient, keys)
    case .bfloat16(var head): attn_backward16_warm(&head, &gradient, keys)
    }
  }

  /// Adds keys to a tile.
  func add(_ run: UnsafePointer<attn_run>, to scratch: UnsafeMutableRawPointer) {
    switch shape.precision {
    case .float32: attn_backward_run(isa, scratch, run)
    case .bfloat16: attn_backward16_run(isa, scratch, run)
    }
  }

  /// Computes the keys that wait for a block to be full.
  func flush(_ scratch: UnsafeMutableRawPointer) {
    switch shape.precision {
    case .float32: attn_backward_flush(isa, scratch)
    case .bfloat16: attn_backward16_flush(isa, scratch)
    }
  }

  /// Ends a tile: writes its query gradient to the rows of `target`, its own or the first ones, or adds it there.
  func end(
    _ scratch: UnsafeMutableRawPointer, _ target: UnsafeMutablePointer<Float>, stride: Int, inPlace: Bool,
    adds: Bool
  ) {
    let (inPlace, adds): (Int32, Int32) = (inPlace ? 1 : 0, adds ? 1 : 0)
    switch shape.precision {
    case .float32: attn_backward_end(isa, scratch, target, Int64(stride), inPlace, adds)
    case .bfloat16: attn_backward16_end(isa, scratch, target, Int64(stride), inPlace, adds)
    }
  }
}
