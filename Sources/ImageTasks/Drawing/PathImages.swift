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
  struct Dash {
    let start: Point, end: Point
  }

  /// What an image shows.
  struct Drawing {
    /// The dashes of all paths.
    var dashes: [Dash] = []
    /// Where the circles are.
    let circles: [Point]
    /// Whether they are on one path.
    let isConnected: Bool
  }

  /// The most by which circles on two paths are nearer to each other, or farther apart, than the ends of one path, in pixels.
  static let slack = 1.0

  /// Draws two paths, says whether the circles are on one, and adds distractors.
  /// - Throws: `ConfigurationError` when the paths do not fit in the image.
  public func image(_ generator: inout RandomGenerator) throws(ConfigurationError) -> LabelledImage {
    let drawing = try drawing(&generator)
    var canvas = Canvas(height: grid.height, width: grid.width)
    for dash in drawing.dashes { canvas.stroke(from: dash.start, to: dash.end, thickness: 1) }
    for circle in drawing.circles { canvas.disc(circle, radius: radius) }
    return LabelledImage(pixels: canvas.ink, label: drawing.isConnected ? 1 : 0)
  }

  /// Chooses paths of which two ends, one of each, are about as far from each other as the ends of the first: paths and distances are
  /// drawn alike in both classes, and nothing but the path between the circles tells them apart.
  func drawing(_ generator: inout RandomGenerator) throws(ConfigurationError) -> Drawing {
    let isConnected = generator.integer(below: 2) == 1
    var crowded = 0
    for _ in 0..<600 where crowded < 60 {
      guard let first = path(dashes, beside: [], &generator),
        let second = path(dashes, beside: first, &generator)
      else {
        crowded += 1
        continue
      }
      let own = [first[0].start, first[dashes - 1].end], other = [second[0].start, second[dashes - 1].end]
      let length = (own[0] - own[1]).length
      let pairs = own.flatMap { end in other.map { [end, $0] } }
      func miss(_ pair: [Point]) -> Double { abs((pair[0] - pair[1]).length - length) }
      guard let apart = pairs.min(by: { miss($0) < miss($1) }), miss(apart) <= Self.slack else { continue }
      var drawing = Drawing(
        dashes: first + second, circles: isConnected ? own : apart, isConnected: isConnected)
      for _ in 0..<distractors {
        guard let short = path(max(1, dashes / 3), beside: drawing.dashes, &generator, attempts: 8) else {
          continue
        }
        drawing.dashes += short
      }
      return drawing
    }
    throw ConfigurationError(
      field: "dashes", value: "\(dashes)",
      allowed: "fewer, or a larger side than \(grid.height): two paths did not fit in "
        + "\(crowded == 60 ? 60 : 600) attempts")
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
