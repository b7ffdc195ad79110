import Basics
import Records

/// A figure of rows, named as JSON and presets name it.
public typealias GoalFigure = CaseIterable & RawRepresentable<String> & Sendable

/// What a figure of a row is to reach: the part of a target that all kinds of experiment have in common.
///
/// A target is a mapping: `figure` and `at_least`, and the conditions of its kind. Which rows it is for, the kind says.
public struct Goal<Figure: GoalFigure>: Sendable {
  /// The figure.
  public var figure: Figure
  /// The least that it is to be.
  public var atLeast: Double

  /// Creates a goal.
  /// - Parameters:
  ///   - figure: what is to reach something.
  ///   - atLeast: the least that it is to be.
  public init(figure: Figure, atLeast: Double) { (self.figure, self.atLeast) = (figure, atLeast) }

  /// Reads the fields `figure` and `at_least`.
  /// - Parameters:
  ///   - reader: of the target.
  ///   - node: the target.
  ///   - former: what figures were called in earlier versions.
  /// - Throws: `UsageError` with place and what is allowed; also when one of the two is missing.
  package init(
    _ reader: inout FieldReader, of node: PresetNode, formerly former: [String: Figure] = [:]
  ) throws(UsageError) {
    var figure = reader.node("figure")?.text.flatMap { former[$0] }
    if figure == nil {
      let names = Figure.allCases.map(\.rawValue)
      figure = try reader.optional("figure", .words(names)).flatMap(Figure.init)
    }
    guard let figure, let atLeast = try reader.optional("at_least", .number(in: 1e-3...1e3)) else {
      throw node.error("a target needs figure and at_least")
    }
    self.init(figure: figure, atLeast: atLeast)
  }

  /// Whether a value is enough; `nil` of none.
  package func isReached(by value: Double?) -> Bool? { value.map { $0 >= atLeast } }

  /// The goal as JSON.
  package var json: JSONValue {
    .object(["figure": .string(figure.rawValue), "at_least": .double(atLeast)])
  }
}

extension FieldReader {
  /// The targets of an experiment, the elements of its field `targets`; none where it is absent.
  /// - Parameter read: reads one.
  /// - Throws: `UsageError` with place and what is allowed.
  package mutating func targets<Target>(
    _ read: (PresetNode) throws(UsageError) -> Target
  ) throws(UsageError) -> [Target] {
    guard let node = node("targets") else { return [] }
    guard let elements = node.elements, !elements.isEmpty else {
      throw node.error("targets: \(node.summary) is not allowed; it takes a list of targets")
    }
    var targets: [Target] = []
    for element in elements { targets.append(try read(element)) }
    return targets
  }
}
