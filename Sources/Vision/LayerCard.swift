/// What a mechanism is that is no variant of attention but a setting of a model, in words.
public struct LayerCard: Hashable, Sendable {
  /// The name in lists, such as `cbam`.
  public let id: String
  /// The name in prose.
  public let title: String
  /// Authors, year and title of the source.
  public let paper: String
  /// One line.
  public let idea: String
  /// The equation, in plain Unicode.
  public let equation: String
  /// What a model is given to have it, such as `kind: cnn, channel_attention: cbam`.
  public let setting: String
  /// The settings of a model that concern it.
  public let parameters: [String]

  /// Creates a card.
  public init(
    id: String, title: String, paper: String, idea: String, equation: String, setting: String,
    parameters: [String]
  ) {
    (self.id, self.title, self.paper, self.idea) = (id, title, paper, idea)
    (self.equation, self.setting, self.parameters) = (equation, setting, parameters)
  }
}
