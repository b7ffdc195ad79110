import Basics
import Settings
import Tensors

extension Conformance {
  /// Changing everything after a query changes nothing up to it, in no bit; nor do its gradients reach past it.
  ///
  /// A variant that promises `.valuesOnly` keeps its pattern under the change: v is redrawn after the query, q and k are
  /// doubled there, which turns no vector.
  func causality(_ shape: AttentionShape, _ settings: [String: ParameterValue]) throws -> [ConformanceCheck] {
    let variant = try AnyAttention.make(type, settings: settings, shape: shape, key: key("variant"))
    let inputs = try ConformanceCase("inputs", shape).inputs(key("inputs"))
    let gradient = try gradientOfOutput(shape)
    let base = try variant.forward(inputs, in: context())
    let keepsPattern = variant.base.causality != .strict
    var checks: [ConformanceCheck] = []
    for cut in Set([0, 1, 62, 63, 64, shape.queryLength / 2, shape.queryLength - 2]).sorted()
    where cut >= 0 && cut < shape.queryLength - 1 {
      let keyCut = cut + shape.queryOffset
      var changed = inputs
      changed.query = try redrawn(inputs.query, after: cut, "q", doubling: keepsPattern)
      changed.key = try redrawn(inputs.key, after: keyCut, "k", doubling: keepsPattern)
      changed.value = try redrawn(inputs.value, after: keyCut, "v", doubling: false)
      let other = try variant.forward(changed, in: context())
      let rows = 0..<cut + 1
      let differences =
        differing(base.output.narrowed(axis: 2, to: rows), other.output.narrowed(axis: 2, to: rows))
        + differing(base.lse.narrowed(axis: 2, to: rows), other.lse.narrowed(axis: 2, to: rows))
      checks.append(
        ConformanceCheck(
          group: "causality", quantity: "bits", subject: subject(variant), error: Double(differences),
          bound: 0,
          detail: "output of rows up to \(cut), all later tokens changed"))
      let past = try zeroed(gradient, after: cut)
      let reached = try base.backward(past, in: context())
      let leaked =
        nonzero(reached.query, after: cut) + nonzero(reached.key, after: keyCut)
        + nonzero(reached.value, after: keyCut)
      checks.append(
        ConformanceCheck(
          group: "causality", quantity: "gradients", subject: subject(variant), error: Double(leaked),
          bound: 0,
          detail: "gradients after row \(cut) of a loss on the rows up to it"))
    }
    return checks
  }

  /// A tensor whose rows after `row` are drawn anew, or doubled.
  private func redrawn(_ tensor: Tensor, after row: Int, _ name: String, doubling: Bool) throws -> Tensor {
    var values = tensor.array()
    let fresh = try Tensor.normal(tensor.shape, key: key("changed")(name)).array()
    forEachElement(of: tensor.shape) { index, _, position in
      if position > row { values[index] = doubling ? 2 * values[index] : 3 * fresh[index] + 1 }
    }
    return try Tensor(values, shape: tensor.shape).converted(to: tensor.precision)
  }

  private func zeroed(_ tensor: Tensor, after row: Int) throws -> Tensor {
    var values = tensor.array()
    forEachElement(of: tensor.shape) { index, _, position in if position > row { values[index] = 0 } }
    return try Tensor(values, shape: tensor.shape)
  }

  private func nonzero(_ tensor: Tensor, after row: Int) -> Int {
    let values = tensor.array()
    var count = 0
    forEachElement(of: tensor.shape) { index, _, position in
      if position > row, values[index] != 0 { count += 1 }
    }
    return count
  }

  func differing(_ a: Tensor, _ b: Tensor) -> Int {
    zip(a.array(), b.array()).count { $0.bitPattern != $1.bitPattern }
  }

  func forEachElement(of shape: [Int], _ body: (_ index: Int, _ batch: Int, _ position: Int) -> Void) {
    let (heads, length, dim) = (shape[1], shape[2], shape[3])
    for index in 0..<shape.reduce(1, *) { body(index, index / (heads * length * dim), index / dim % length) }
  }
}
