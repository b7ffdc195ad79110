/// What the losses of trainings are measured in: nats, but for a model that learns hidden pixels.
public enum LossUnit: String, CaseIterable, Hashable, Sendable {
  /// Of cross-entropies and of InfoNCE.
  case nats
  /// Of pixels, with `pretext: masked`.
  case squares = "mean squared error"

  /// The unit of a row, as its model says.
  public init(of row: TrainingRow) { self.init(model: row.modelConfiguration) }

  private init(model: String) {
    self = model.split(separator: ";").contains("pretext=masked") ? .squares : .nats
  }

  /// A loss with its unit, in words.
  public func text(_ value: String) -> String {
    self == .nats ? "loss \(value) nats" : "loss \(value) (\(rawValue))"
  }

  /// The units of some rows.
  public static func all(_ rows: [TrainingRow]) -> Set<LossUnit> { Set(rows.map { LossUnit(of: $0) }) }

  /// What stands on an axis of losses.
  public static func axis(_ rows: [TrainingRow]) -> String { axis(models: rows.map(\.modelConfiguration)) }

  /// The same, of cells of the column `model_configuration`.
  public static func axis(models: [String]) -> String {
    let units = Set(models.map { LossUnit(model: $0) })
    return units.count > 1 ? "nats, or \(squares.rawValue)" : (units.first ?? .nats).rawValue
  }

  /// The beginning of a sentence on losses.
  public static func sentence(_ rows: [TrainingRow]) -> String {
    switch all(rows) {
    case [.squares]: "losses are mean squared errors of pixels"
    case [.nats, .squares]: "losses in nats, with pretext masked mean squared errors of pixels"
    default: "losses in nats"
    }
  }
}
