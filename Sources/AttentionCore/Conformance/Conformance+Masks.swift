import Basics
import Settings
import Tensors

extension Conformance {
  /// Changing everything after a query changes nothing up to it, in no bit; nor do its gradients reach past it.
  ///
  /// A variant that promises `.valuesOnly` keeps its pattern under the change: v is redrawn after the query, q and k are
  /// doubled there, which turns no vector.
  func causality(_ shape: AttentionShape, _ settings: [String: ParameterValue]) throws -> [ConformanceCheck] {
    let variant = try type.make(settings: settings, shape: shape, key: key("variant"))
    let inputs = try ConformanceCase("inputs", shape).inputs(key("inputs"), of: variant)
    let gradient = try gradientOfOutput(shape)
    let base = try variant.attend(inputs, in: context())
    let keepsPattern = variant.causality != .strict
    let operands = Operand.all(variant.operands).filter { inputs[$0.name] != nil && $0.rowAxis != nil }
    var checks: [ConformanceCheck] = []
    for cut in Set([0, 1, 62, 63, 64, shape.queryLength / 2, shape.queryLength - 2]).sorted()
    where cut >= 0 && cut < shape.queryLength - 1 {
      func last(_ operand: Operand) -> Int {
        operand.axes.contains(.queries) ? cut : cut + shape.queryOffset
      }
      var changed = inputs
      for operand in operands {
        changed[operand.name] = try redrawn(
          operand, inputs, after: last(operand), doubling: keepsPattern && !operand.axes.contains(.valueDim))
      }
      let other = try variant.attend(changed, in: context())
      let rows = 0..<cut + 1
      var differences = differing(
        base.output.narrowed(axis: 2, to: rows), other.output.narrowed(axis: 2, to: rows))
      if let before = base.lse, let after = other.lse {
        differences += differing(before.narrowed(axis: 2, to: rows), after.narrowed(axis: 2, to: rows))
      }
      checks.append(
        ConformanceCheck(
          group: "causality", quantity: "bits", subject: subject(variant), error: Double(differences),
          bound: 0,
          detail: "output of rows up to \(cut), all later tokens changed"))
      let past = try zeroed(gradient, after: cut)
      let reached = try base.backward(past, in: context())
      let leaked = operands.reduce(0) { $0 + nonzero($1, reached, after: last($1)) }
      checks.append(
        ConformanceCheck(
          group: "causality", quantity: "gradients", subject: subject(variant), error: Double(leaked),
          bound: 0,
          detail: "gradients after row \(cut) of a loss on the rows up to it"))
    }
    return checks
  }

  /// An operand whose rows after `row` are drawn anew, or doubled.
  private func redrawn(_ operand: Operand, _ inputs: Operands, after row: Int, doubling: Bool) throws
    -> Tensor
  {
    guard let tensor = inputs[operand.name] else { preconditionFailure("\(operand.name) was not drawn") }
    var values = tensor.array()
    let fresh = try Tensor.normal(tensor.shape, key: key("changed")(operand.shortName)).array()
    operand.forEachElement(of: tensor.shape) { index, _, position in
      if position > row { values[index] = doubling ? 2 * values[index] : 3 * fresh[index] + 1 }
    }
    return try Tensor(values, shape: tensor.shape).converted(to: tensor.precision)
  }

  private func zeroed(_ tensor: Tensor, after row: Int) throws -> Tensor {
    var values = tensor.array()
    Operand.query.forEachElement(of: tensor.shape) { index, _, position in
      if position > row { values[index] = 0 }
    }
    return try Tensor(values, shape: tensor.shape)
  }

  private func nonzero(_ operand: Operand, _ tensors: Operands, after row: Int) -> Int {
    guard let tensor = tensors[operand.name] else { return 0 }
    let values = tensor.array()
    var count = 0
    operand.forEachElement(of: tensor.shape) { index, _, position in
      if position > row, values[index] != 0 { count += 1 }
    }
    return count
  }

  func differing(_ a: Tensor, _ b: Tensor) -> Int {
    zip(a.array(), b.array()).count { $0.bitPattern != $1.bitPattern }
  }
}

extension Operand {
  /// The axis that counts rows of q or of k and v.
  var rowAxis: Int? { axes.firstIndex { $0 == .queries || $0 == .keys } }

  /// Calls `body` with the place, the sequence and the row of every element; what has no rows has row 0.
  func forEachElement(of shape: [Int], _ body: (_ index: Int, _ batch: Int, _ position: Int) -> Void) {
    let strides = Tensor.rowMajorStrides(shape)
    func place(_ index: Int, _ axis: Int?) -> Int { axis.map { index / strides[$0] % shape[$0] } ?? 0 }
    let (batch, row) = (axes.firstIndex(of: .batch), rowAxis)
    for index in 0..<shape.reduce(1, *) { body(index, place(index, batch), place(index, row)) }
  }
}
