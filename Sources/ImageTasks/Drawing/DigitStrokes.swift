import Basics
import RealModule
import Settings
import Tensors

/// The digits 0 to 9 as strokes, each in the unit square.
enum DigitGlyph {
  /// Lines from point to point.
  static let strokes: [[[Point]]] = [
    [arc(0.5, 0.5, 0.32, 0.45, 0, 360)],
    [[Point(0.3, 0.25), Point(0.52, 0.05), Point(0.52, 0.95)]],
    [arc(0.5, 0.3, 0.3, 0.25, 180, 385) + [Point(0.2, 0.95), Point(0.82, 0.95)]],
    [arc(0.47, 0.28, 0.28, 0.23, 200, 450), arc(0.47, 0.73, 0.32, 0.22, 270, 520)],
    [[Point(0.62, 0.95), Point(0.62, 0.05), Point(0.15, 0.65), Point(0.85, 0.65)]],
    [[Point(0.78, 0.05), Point(0.28, 0.05), Point(0.24, 0.47)] + arc(0.48, 0.66, 0.3, 0.29, 220, 500)],
    [
      [Point(0.68, 0.06), Point(0.42, 0.25), Point(0.25, 0.5), Point(0.2, 0.7)],
      arc(0.5, 0.7, 0.3, 0.25, 180, 540),
    ],
    [[Point(0.18, 0.06), Point(0.82, 0.06), Point(0.42, 0.95)]],
    [arc(0.5, 0.28, 0.25, 0.23, 0, 360), arc(0.5, 0.73, 0.31, 0.22, 0, 360)],
    [
      arc(0.5, 0.3, 0.3, 0.25, 0, 360), [Point(0.8, 0.3), Point(0.76, 0.6), Point(0.6, 0.95)],
    ],
  ]

  /// Part of an ellipse, from one angle to another in degrees, clockwise from the right.
  private static func arc(
    _ x: Double, _ y: Double, _ rx: Double, _ ry: Double, _ from: Double, _ to: Double
  ) -> [Point] {
    let count = max(2, Int((to - from) / 24))
    return (0...count).map { step in
      let angle = (from + (to - from) * Double(step) / Double(count)) * Double.pi / 180
      return Point(x + rx * Double.cos(angle), y + ry * Double.sin(angle))
    }
  }
}

/// A digit as it is drawn somewhere: its size, slant and thickness.
struct DigitHand {
  let digit: Int
  /// The height of its box, in pixels; the width is 0.7 of it.
  let size: Double
  /// How far the top leans to the right, as a share of the height.
  let slant: Double
  /// Of the stroke, in pixels.
  let thickness: Double

  /// Draws a digit and how it is written.
  init(
    height: Int, width: Int, least: Double, slant: Double, thickness: Double,
    _ generator: inout RandomGenerator
  ) {
    let side = min(Double(height), Double(width) / 0.7)
    digit = generator.integer(below: 10)
    size = side * (least + (0.95 - least) * generator.uniform())
    self.slant = slant * (2 * generator.uniform() - 1)
    self.thickness = max(0.5, side * thickness * (0.7 + 0.6 * generator.uniform()))
  }

  /// Draws it with the upper left corner of its box at a place.
  func draw(at corner: Point, on canvas: inout Canvas) {
    for stroke in DigitGlyph.strokes[digit] {
      let points = stroke.map { point in
        corner + Point((point.x + slant * (0.5 - point.y)) * 0.7 * size, point.y * size)
      }
      canvas.stroke(points, thickness: thickness)
    }
  }
}

/// Digits of strokes, as `Digits` describes them.
public struct DigitImages: ImageSource {
  /// The places of an image.
  public let grid: Grid
  var least = 0.6, slant = 0.3, thickness = 0.08

  /// Grey.
  public var channels: Int { 1 }
  /// Classes.
  public var classCount: Int { 10 }

  /// Draws an image.
  public func image(_ generator: inout RandomGenerator) -> LabelledImage {
    let hand = DigitHand(
      height: grid.height, width: grid.width, least: least, slant: slant, thickness: thickness, &generator)
    let room = Point(Double(grid.width) - 0.7 * hand.size, Double(grid.height) - hand.size)
    let corner = Point(max(0, room.x) * generator.uniform(), max(0, room.y) * generator.uniform())
    var canvas = Canvas(height: grid.height, width: grid.width)
    hand.draw(at: corner, on: &canvas)
    return LabelledImage(pixels: canvas.ink, label: hand.digit)
  }
}
