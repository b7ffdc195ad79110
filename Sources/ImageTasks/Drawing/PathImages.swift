import Basics
import RealModule
import Settings
import Tensors

/// Dashed paths, as `Pathfinder` describes them.
public struct PathImages: ImageSource {
  /// The places of an image.
  public let grid: Grid
  /// Dashes of the two long paths.
  let dashes: Int
  /// Short paths beside them.
  let distractors: Int
  /// The most that a path turns from dash to dash, in radians.
  let turn: Double
  /// The length of a dash, of the gap behind it, and what paths keep from each other, in pixels.
  let dash: Double, gap: Double, clearance: Double
  /// Of the circles, in pixels.
  let radius: Double

  /// Grey.
  public var channels: Int { 1 }
  /// Classes.
  public var classCount: Int { 2 }

  /// One dash.
  private struct Dash {
    let start: Point, end: Point
  }

  /// Draws two paths, says whether the circles are on one, and adds distractors.
  /// - Throws: `ConfigurationError` when the paths do not fit in the image.
  public func image(_ generator: inout RandomGenerator) throws(ConfigurationError) -> LabelledImage {
    let isConnected = generator.integer(below: 2) == 1
    for _ in 0..<60 {
      var all: [Dash] = []
      guard let first = path(dashes, beside: all, &generator) else { continue }
      all += first
      guard let second = path(dashes, beside: all, &generator) else { continue }
      all += second
      for _ in 0..<distractors {
        if let short = path(max(1, dashes / 3), beside: all, &generator, attempts: 8) { all += short }
      }
      var canvas = Canvas(height: grid.height, width: grid.width)
      for dash in all { canvas.stroke(from: dash.start, to: dash.end, thickness: 1) }
      canvas.disc(first[0].start, radius: radius)
      canvas.disc(isConnected ? first[dashes - 1].end : second[dashes - 1].end, radius: radius)
      return LabelledImage(pixels: canvas.ink, label: isConnected ? 1 : 0)
    }
    throw ConfigurationError(
      field: "dashes", value: "\(dashes)",
      allowed: "fewer, or a larger side than \(grid.height): two paths did not fit in 60 attempts")
  }

  /// A path that stays in the image, away from others and from itself; `nil`: none of some attempts did.
  private func path(
    _ count: Int, beside others: [Dash], _ generator: inout RandomGenerator, attempts: Int = 60
  ) -> [Dash]? {
    let margin = radius + 0.5
    func isInside(_ point: Point) -> Bool {
      point.x >= margin && point.y >= margin && point.x <= Double(grid.width) - margin
        && point.y <= Double(grid.height) - margin
    }
    attempt: for _ in 0..<attempts {
      var place = Point(
        margin + (Double(grid.width) - 2 * margin) * generator.uniform(),
        margin + (Double(grid.height) - 2 * margin) * generator.uniform())
      var angle = 2 * Double.pi * generator.uniform()
      var own: [Dash] = []
      while own.count < count {
        // A few turns are tried at each dash, as a snake that looks before it goes.
        var next: Dash?
        for _ in 0..<6 where next == nil {
          let towards = own.isEmpty ? angle : angle + turn * (2 * generator.uniform() - 1)
          let candidate = Dash(start: place, end: place.moved(dash, towards: towards))
          let before = own.dropLast()
          if isInside(candidate.start), isInside(candidate.end),
            !others.contains(where: { isNear($0, candidate) }),
            !before.contains(where: { isNear($0, candidate) })
          {
            (next, angle) = (candidate, towards)
          }
        }
        guard let next else { continue attempt }
        own.append(next)
        place = next.end.moved(gap, towards: angle)
      }
      return own
    }
    return nil
  }

  /// Whether two dashes are closer than the clearance at their ends and middles.
  private func isNear(_ a: Dash, _ b: Dash) -> Bool {
    let reach = clearance + dash
    let between = (a.start + a.end - b.start - b.end) / 2
    guard (between * between).sum() < reach * reach else { return false }
    return [b.start, (b.start + b.end) / 2, b.end].contains {
      $0.distance(from: a.start, to: a.end) < clearance
    } || [a.start, a.end].contains { $0.distance(from: b.start, to: b.end) < clearance }
  }
}
