import Basics
import RealModule
import Settings
import Tensors

/// Shapes with an area, by their signed distance or their corners.
enum ShapeKind: Int, CaseIterable {
  case disc, square, triangle, cross, ring, star

  /// The distance of a point from the edge of the shape of radius 1 around 0, below 0 inside. Exact for all but the star and the
  /// corners, where it is a bound, which is enough for the grey of a pixel.
  func distance(_ p: Point) -> Double {
    switch self {
    case .disc: p.length - 1
    case .ring: abs(p.length - 0.75) - 0.25
    case .square: max(abs(p.x), abs(p.y)) - 0.8
    case .cross: max(min(abs(p.x), abs(p.y)) - 0.25, max(abs(p.x), abs(p.y)) - 0.95)
    case .triangle: ShapeKind.polygon(p, corners: 3)
    case .star: ShapeKind.star(p)
    }
  }

  /// A regular polygon: the largest of the distances from its sides.
  private static func polygon(_ p: Point, corners: Int) -> Double {
    let inner = Double.cos(Double.pi / Double(corners))
    return (0..<corners).map { side in
      let angle = Double.pi * (0.5 + 2 * Double(side) / Double(corners))
      return p.x * Double.cos(angle) + p.y * Double.sin(angle) - inner
    }.max() ?? 0
  }

  /// A star of five points: the radius of its edge by angle.
  private static func star(_ p: Point) -> Double {
    let turn = 2 * Double.pi / 5
    var angle = (Double.atan2(y: p.y, x: p.x) + Double.pi / 2).truncatingRemainder(dividingBy: turn)
    if angle < 0 { angle += turn }
    let share = abs(angle / turn * 2 - 1)
    return (p.length - (0.4 + 0.6 * share)) * 0.6
  }
}

/// Shapes of several kinds, as `Shapes` describes them.
public struct ShapeImages: ImageSource {
  /// The places of an image.
  public let grid: Grid
  /// Numbers of a pixel.
  public var channels = 1
  var least = 0.3, turn = 0.3

  /// Classes.
  public var classCount: Int { ShapeKind.allCases.count }

  /// Draws an image.
  public func image(_ generator: inout RandomGenerator) -> LabelledImage {
    let label = generator.integer(below: classCount)
    let side = Double(min(grid.height, grid.width))
    let radius = max(0.5, side / 2 * (least + (0.9 - least) * generator.uniform()))
    let angle = turn * (2 * generator.uniform() - 1)
    func place(_ extent: Int) -> Double {
      radius + max(0, Double(extent) - 2 * radius) * generator.uniform()
    }
    let centre = Point(place(grid.width), place(grid.height))
    var canvas = Canvas(height: grid.height, width: grid.width)
    let (cosine, sine) = (Double.cos(angle), Double.sin(angle))
    let kind = ShapeKind.allCases[label]
    canvas.draw(from: centre - radius, to: centre + radius) { point in
      let p = (point - centre) / radius
      return kind.distance(Point(cosine * p.x + sine * p.y, cosine * p.y - sine * p.x)) * radius
    }
    let ground = colour(&generator), ink = colour(&generator)
    guard channels > 1 else { return LabelledImage(pixels: canvas.ink, label: label) }
    let dark = ground.map { 0.4 * $0 }, light = ink.map { 0.6 + 0.4 * $0 }
    let pixels = canvas.ink.flatMap { (share: Float) -> [Float] in
      zip(dark, light).map { (dark: Float, light: Float) -> Float in dark + (light - dark) * share }
    }
    return LabelledImage(pixels: pixels, label: label)
  }

  private func colour(_ generator: inout RandomGenerator) -> [Float] {
    (0..<channels).map { _ in Float(generator.uniform()) }
  }
}
