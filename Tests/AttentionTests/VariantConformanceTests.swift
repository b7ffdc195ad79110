import Attention
import AttentionCore
import LabTestSupport
import Settings
import Tensors
import Testing

/// Every variant of the catalogue, with its defaults and its samples, through the conformance check.
@Suite struct VariantConformanceTests {
  struct Configured: CustomTestStringConvertible, Sendable {
    let type: any AttentionVariant.Type
    let settings: [String: ParameterValue]

    var testDescription: String {
      let settings = settings.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
      return ([type.card.id] + settings).joined(separator: " ")
    }

    static let all = Catalog.standard.types.flatMap { type in
      Conformance.samples(of: type).map { Configured(type: type, settings: $0) }
    }
  }

  /// What the oracle says of a case is worked out once, whatever the number of instruction sets.
  @Test(
    "oracle, gradients and tiles of every sample configuration, on every instruction set of the machine",
    arguments: Configured.all)
  func samples(_ item: Configured) {
    checkVariant(item.type, .quick, settings: item.settings, instructionSets: InstructionSet.available)
  }

  @Test("equal bits for threads, seeds and strides; causality; padding", arguments: Configured.all)
  func exact(_ item: Configured) {
    let report = Conformance(item.type, instructionSets: [.default]).exact(item.settings)
    #expect(report.passed)
    for failure in report.failures.prefix(5) { Issue.record("\(failure)") }
  }

  @Test("what the runner asks before it times a cell", arguments: Catalog.standard.ids)
  func shapeClass(_ id: String) throws {
    let type = try Catalog.standard.type(of: id)
    let shape = try AttentionShape(queryHeads: 2, queryLength: 4096, headDim: 24, isCausal: true)
    let settings = Conformance.samples(of: type).first ?? [:]
    let report = Conformance(type, instructionSets: [.default]).shapeClass(of: shape, settings: settings)
    #expect(report.passed, "\(report.failures.first?.description ?? "nothing passed")")
  }

  @Test("a variant of Experiments/CustomVariant that learns a vector and reads a feature, through a link")
  func ownOperands() {
    checkVariant(KeyBiasAttention.self, .quick)
    let report = Conformance(KeyBiasAttention.self, instructionSets: [.default]).exact(["width": .int(3)])
    #expect(report.passed, "\(report.failures.first?.description ?? "nothing passed")")
    let quantities = Set(report.checks.map(\.quantity))
    #expect(quantities.contains("length, d bias_weight") == false)
    #expect(quantities.contains("length, d feature"))
  }

  @Test("the variant of Experiments/CustomVariant, compiled here through a link")
  func customVariant() {
    checkVariant(StridedAttention.self, .quick)
    let report = Conformance(StridedAttention.self, instructionSets: [.default]).exact(["stride": .int(12)])
    #expect(report.passed, "\(report.failures.first?.description ?? "nothing passed")")
  }
}
