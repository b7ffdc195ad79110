import Attention
import AttentionCore
import LabTestSupport
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

  @Test("oracle, gradients and tiles of every sample configuration", arguments: Configured.all)
  func samples(_ item: Configured) { checkVariant(item.type, .quick, settings: item.settings) }
}
