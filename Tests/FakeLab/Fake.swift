import AttentionCore
import Basics
import Foundation
import Settings
import Tensors

/// A correct, naive attention with one setting; fakes change what it does to provoke every status of a run.
protocol Fake: AttentionVariant where Configuration == FakeConfiguration {
  init(configuration: FakeConfiguration, shape: AttentionShape)
  var configuration: FakeConfiguration { get }
  static var id: String { get }
  static var idea: String { get }
  /// Called before every pass.
  func misbehave(in context: ExecutionContext) throws
  /// Added to every element of the output.
  var fault: Float { get }
}

struct FakeConfiguration: VariantConfiguration {
  var left = 1_000_000

  static let parameters: [Parameter<FakeConfiguration>] = [
    .integer("left", \.left, in: 0...1_000_000, unit: "tokens", help: "keys to the left that a query sees")
  ]
}

extension Fake {
  static var card: VariantCard {
    VariantCard(id: id, title: id, paper: "none", idea: idea, equation: "softmax(q kᵀ) v")
  }
  var fault: Float { 0 }
  var planBytes: Int { 0 }
  func misbehave(in context: ExecutionContext) throws {}

  init(
    _ configuration: FakeConfiguration, for shape: AttentionShape, key: RandomKey
  ) throws(ConfigurationError) {
    guard shape.headDim <= 64 else {
      throw ConfigurationError(field: "head dim", value: "\(shape.headDim)", allowed: "at most 64")
    }
    self.init(configuration: configuration, shape: shape)
  }

  func cost(of pass: PassKind) -> Cost {
    var seen = 0
    for query in 0..<shape.queryLength {
      for key in 0..<shape.keyLength { seen += multiplicity(query, key) }
    }
    let pairs = Double(shape.batch * shape.queryHeads * seen)
    let sizes = [shape.queryShape, shape.keyShape, shape.valueShape, shape.outputShape, shape.lseShape]
    let elements = sizes.reduce(0) { $0 + $1.reduce(1, *) }
    return Cost(
      flops: 4 * pairs * Double(shape.headDim), neededPairs: pairs, executedPairs: pairs, workspaceBytes: 0,
      inputOutputBytes: Double(4 * elements), stateBytes: 0)
  }

  func multiplicity(_ query: Int, _ key: Int) -> Int {
    let distance = query + shape.queryOffset - key
    return (!shape.isCausal || distance >= 0) && distance <= configuration.left ? 1 : 0
  }

  func definition(of inputs: Operands) throws -> any Definition {
    SoftmaxDefinition(shape: shape, multiplicity: { multiplicity($2, $3) })
  }

  func forward(_ inputs: Operands, in context: ExecutionContext) throws -> Forward {
    try misbehave(in: context)
    let result = try definition(of: inputs).forward(DefinitionInputs(inputs))
    return Forward(
      output: try Tensor(
        result.output.map { Float($0) + fault }, shape: shape.outputShape, ledger: context.ledger),
      lse: try Tensor(result.singlePrecisionLSE, shape: shape.lseShape, ledger: context.ledger),
      pullback: pullback(inputs))
  }

  /// The way back by the definition.
  func pullback(_ inputs: Operands) -> Forward.Pullback {
    { outputGradient, context in
      try misbehave(in: context)
      let gradient = try definition(of: inputs)
        .backward(outputGradient.array().map { Double($0) }, DefinitionInputs(inputs))
      func tensor(_ values: [Double], _ shape: [Int]) throws -> Tensor {
        try Tensor(values.map { Float($0) + fault }, shape: shape, ledger: context.ledger)
      }
      return Operands(
        query: try tensor(gradient.query, shape.queryShape), key: try tensor(gradient.key, shape.keyShape),
        value: try tensor(gradient.value, shape.valueShape))
    }
  }
}
