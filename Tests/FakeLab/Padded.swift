import AttentionCore
import Tensors

/// Fakes whose valid rows depend on padding, and whose definition says so: no comparison with it can find them.
struct PaddedLength: Fake {
  static let id = "padded-length"
  static let idea = "takes its window from the padded length"
  let configuration: FakeConfiguration
  let shape: AttentionShape

  func sees(_ query: Int, _ key: Int) -> Bool {
    let distance = query + shape.queryOffset - key
    return abs(distance) <= max(1, shape.keyLength / 4) && (!shape.isCausal || distance >= 0)
  }

  func definition(of inputs: Operands) throws -> any Definition {
    SoftmaxDefinition(shape: shape, multiplicity: { sees($2, $3) ? 1 : 0 })
  }
}

/// The window depends on the last key, padded or not.
struct PaddedContent: Fake {
  static let id = "padded-content"
  static let idea = "takes its window from the last key, which may be padding"
  let configuration: FakeConfiguration
  let shape: AttentionShape

  func definition(of inputs: Operands) throws -> any Definition {
    let key = inputs.key.array(), size = shape.keyLength * shape.headDim
    let isNarrow = (0..<shape.batch).map { key[($0 + 1) * shape.keyHeads * size - 1].bitPattern % 2 == 0 }
    return SoftmaxDefinition(
      shape: shape,
      multiplicity: { batch, _, query, key in
        let distance = query + shape.queryOffset - key
        return abs(distance) <= (isNarrow[batch] ? 3 : 9) && (!shape.isCausal || distance >= 0) ? 1 : 0
      })
  }
}
