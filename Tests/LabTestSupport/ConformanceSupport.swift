import AttentionCore
import Settings
import Tensors
import Testing

/// Puts a variant through the conformance check and records every failure as an issue of the running test.
///
/// One call gives a variant the whole suite: oracle, gradients, causality, padding, threads, seeds, tiles.
public func checkVariant(
  _ type: any AttentionVariant.Type, _ level: Conformance.Level = .quick,
  settings: [String: ParameterValue]? = nil,
  instructionSets: [InstructionSet] = [.default], precision: Precision = .float32,
  sourceLocation: SourceLocation = #_sourceLocation
) {
  let report = Conformance(type, instructionSets: instructionSets, precision: precision).run(
    level, settings: settings)
  #expect(
    report.passed, "\(report.variant): nothing passed, or something failed", sourceLocation: sourceLocation)
  for failure in report.failures.prefix(5) {
    Issue.record("\(report.variant): \(failure)", sourceLocation: sourceLocation)
  }
}

extension Catalog {
  /// The variants that take a precision.
  public func ids(taking precision: Precision) -> [String] {
    ids.filter { (try? type(of: $0))?.precisions.contains(precision) == true }
  }

  /// The softmax variants that read q, k and v alone: what a test with tensors of its own can call.
  public var idsOfPlainOperands: [String] {
    ids.filter {
      guard let type = try? type(of: $0), !(type is any RecurrentVariant.Type) else { return false }
      return (try? type.operands(settings: [:])) == Operand.standard
    }
  }
}
