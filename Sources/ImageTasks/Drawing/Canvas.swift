import RealModule

/// A point of a drawing: x to the right, y down.
typealias Point = SIMD2<Double>

extension Point {
  /// The root of the sum of squares.
  var length: Double { (self * self).sum().squareRoot() }
  /// A point at an angle from here; 0 is to the right, π/2 down.
  func moved(_ distance: Double, towards angle: Double) -> Point {
    self + Point(distance * Double.cos(angle), distance * Double.sin(angle))
  }
  /// The distance from the segment between two points.
  func distance(from a: Point, to b: Point) -> Double {
    let d = b - a, square = (d * d).sum()
    let t = square == 0 ? 0 : Swift.min(1, Swift.max(0, ((self - a) * d).sum() / square))
    return (self - a - d * t).length
  }
}

/// A grey image that strokes are drawn on: 0 is the ground, 1 is ink. The pixel (row, column) has its centre at
/// `(column + ½, row + ½)`; an edge that passes through a pixel gives it a grey by its distance from the centre.
struct Canvas {
  let height: Int, width: Int
  /// `[height, width]`.
  private(set) var ink: [Float]

  init(height: Int, width: Int) {
    (self.height, self.width) = (height, width)
    ink = [Float](repeating: 0, count: height * width)
  }

  /// Draws what has a signed distance: ink where it is below 0. Ink is never taken away.
  /// - Parameters:
  ///   - low: the upper left corner of a box around it, without the edge.
  ///   - high: its lower right corner.
  ///   - distance: in pixels.
  /// - Complexity: O(pixels of the box).
  mutating func draw(from low: Point, to high: Point, _ distance: (Point) -> Double) {
    func range(_ low: Double, _ high: Double, _ extent: Int) -> Range<Int> {
      let first = min(extent, max(0, Int((low - 1).rounded(.down))))
      return first..<max(first, min(extent, Int((high + 1).rounded(.up))))
    }
    for row in range(low.y, high.y, height) {
      for column in range(low.x, high.x, width) {
        let value = Float(min(1, max(0, 0.5 - distance(Point(Double(column) + 0.5, Double(row) + 0.5)))))
        ink[row * width + column] = max(ink[row * width + column], value)
      }
    }
  }

  /// A straight stroke with round ends.
  mutating func stroke(from a: Point, to b: Point, thickness: Double) {
    let reach = Point(repeating: thickness / 2)
    draw(from: pointwiseMin(a, b) - reach, to: pointwiseMax(a, b) + reach) {
      $0.distance(from: a, to: b) - thickness / 2
    }
  }

  /// Strokes from point to point.
  mutating func stroke(_ points: [Point], thickness: Double) {
    for (a, b) in zip(points, points.dropFirst()) { stroke(from: a, to: b, thickness: thickness) }
  }

  /// A full circle.
  mutating func disc(_ centre: Point, radius: Double) {
    draw(from: centre - radius, to: centre + radius) { ($0 - centre).length - radius }
  }
}
