import AttentionCore
import Tensors

/// Forward that of one softmax, backward that of another, but for v.
struct HardDefinition: PairDefinition {
  let soft: SoftmaxDefinition, hard: SoftmaxDefinition

  var shape: AttentionShape { hard.shape }
  var multiplicity: @Sendable (Int, Int, Int, Int) -> Int { hard.multiplicity }
  var hasSurrogateGradient: Bool { true }

  func forward(_ inputs: DefinitionInputs, rows: [DefinitionRow]) -> DefinitionResult {
    var result = hard.forward(inputs, rows: rows)
    // Gradients are as exact as the softmax of all.
    let all = soft.forward(inputs, rows: rows)
    (result.scoreMagnitude, result.mostKeys) = (all.scoreMagnitude, all.mostKeys)
    return result
  }

  func backward(
    _ outputGradient: [Double], _ inputs: DefinitionInputs, rows: [DefinitionRow],
    into gradient: inout some DefinitionGradientCollector
  ) {
    var scores = Part(base: gradient, takesValues: false)
    soft.backward(outputGradient, inputs, rows: rows, into: &scores)
    var values = Part(base: scores.base, takesValues: true)
    hard.backward(outputGradient, inputs, rows: rows, into: &values)
    gradient = values.base
  }

  func pairs(of rows: [DefinitionRow], _ inputs: DefinitionInputs) -> [[DefinitionPair]] {
    hard.pairs(of: rows, inputs)
  }

  func hasRowwiseGradient(of operand: Operand.Name) -> Bool { soft.hasRowwiseGradient(of: operand) }

  func budget(scoreMagnitude: Double, mostKeys: Int) -> ErrorBudget {
    soft.budget(scoreMagnitude: scoreMagnitude, mostKeys: mostKeys)
  }

  /// Terms of v's gradient alone, or of all others.
  private struct Part<Base: DefinitionGradientCollector>: DefinitionGradientCollector {
    var base: Base
    let takesValues: Bool

    mutating func add(to operand: Operand.Name, at start: Int, _ factor: Double, _ source: DefinitionVector) {
      if (operand == .value) == takesValues { base.add(to: operand, at: start, factor, source) }
    }

    mutating func addMagnitude(
      to operand: Operand.Name, at start: Int, _ factor: Double, _ source: DefinitionVector
    ) {
      if (operand == .value) == takesValues { base.addMagnitude(to: operand, at: start, factor, source) }
    }

    mutating func add(to operand: Operand.Name, _ terms: DefinitionTerms) {
      if (operand == .value) == takesValues { base.add(to: operand, terms) }
    }
  }
}
