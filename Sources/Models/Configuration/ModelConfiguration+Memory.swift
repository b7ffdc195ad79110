import AttentionCore
import Layers
import Settings

extension ModelConfiguration {
  /// Whether the layers can keep earlier segments: what they see must follow from distances, for a row is read at another place
  /// than it was written.
  /// - Parameters:
  ///   - positions: how many they are to keep; 0: none, which any model can.
  ///   - catalog: the variants.
  /// - Throws: `ConfigurationError` for the field `memory`.
  public func checkMemory(of positions: Int, in catalog: Catalog) throws(ConfigurationError) {
    func refuse(_ allowed: String) -> ConfigurationError {
      ConfigurationError(field: "memory", value: "\(positions)", allowed: allowed)
    }
    guard positions > 0 else { return }
    guard kind == .decoder else { throw refuse("0 unless kind is decoder") }
    guard layer.norm != .batch else { throw refuse("0 with norm batch, whose moments are of one segment") }
    guard layer.position != .sinusoidal, layer.position != .learned else {
      throw refuse(
        "0 with position \(layer.position.rawValue), which numbers every segment anew; others go by distance")
    }
    for attention in try layerAttention() {
      if try catalog.takesPast(attention) { continue }
      var others: [String] = []
      for id in catalog.ids {
        if try catalog.takesPast(LayerAttention(id)) { others.append(id) }
      }
      throw refuse(
        "0 with \(attention), where places in the sequence count; by distance go "
          + others.joined(separator: ", "))
    }
  }
}
