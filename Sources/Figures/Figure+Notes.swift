import Foundation

extension Figure {
  /// A box in the pixels of a panel's frame, from the left and from below.
  private struct Box {
    var left, right, bottom, top: Double

    func meets(_ other: Box) -> Bool {
      left < other.right && other.left < right && bottom < other.top && other.bottom < top
    }
  }

  /// gnuplot's labels for the words beside a panel's points.
  ///
  /// Each stands beside its point, on the side where there is room, moved up or down where another one, a point, a bar or a line is in
  /// its way; a line then leads to it.
  /// - Parameters:
  ///   - panel: the panel.
  ///   - across: the range of the axis across.
  ///   - upwards: the range of the axis upwards.
  ///   - size: width and height of the frame in pixels.
  /// - Complexity: O(n²) in the words.
  static func labels(
    _ panel: Panel, across: ClosedRange<Double>?, upwards: ClosedRange<Double>?,
    size: (width: Double, height: Double)
  ) -> [String] {
    guard let across, let upwards else { return [] }
    func place(_ value: Double, _ range: ClosedRange<Double>, _ scale: Scale) -> Double {
      let (low, high) = (range.lowerBound, range.upperBound)
      guard low < high else { return 0.5 }
      return scale.base != nil
        ? Foundation.log(value / low) / Foundation.log(high / low) : (value - low) / (high - low)
    }
    func pixels(_ x: Double, _ y: Double) -> (x: Double, y: Double) {
      (place(x, across, panel.x.scale) * size.width, place(y, upwards, panel.y.scale) * size.height)
    }
    let points: [(x: Double, y: Double)] = panel.notes.map { pixels($0.x, $0.y) }
    let bars = panel.curves.flatMap(\.points).compactMap { point in
      point.low.flatMap { low in point.high.map { [pixels(point.x, low), pixels(point.x, $0)] } }
    }
    let laws = panel.curves.map { $0.law.map { pixels($0.x, $0.y) } }
    let drawn: [Box] = (laws + bars).flatMap(boxes)
    let marks: [Box] = points.map { Box(left: $0.x - 5, right: $0.x + 5, bottom: $0.y - 5, top: $0.y + 5) }
    // The nearest first, on the right before the left.
    let shifts: [Double] =
      [0] + (1...10).flatMap { (step: Int) -> [Double] in [Double(16 * step), Double(-16 * step)] }
    let places: [(isLeft: Bool, shift: Double)] = shifts.flatMap { [(false, $0), (true, $0)] }
    var taken: [Box] = []
    var lines: [String] = []
    for (note, point) in zip(panel.notes, points) {
      // Letters of size 11 are 7 pixels wide and 16 apart, as near as placing needs it.
      let letters: Int = note.text.count { !"\\{}".contains($0) }
      let width: Double = 7 * Double(letters) + 4
      func box(_ isLeft: Bool, _ shift: Double) -> Box {
        let start = isLeft ? point.x - 9 - width : point.x + 9
        return Box(left: start, right: start + width, bottom: point.y + shift - 8, top: point.y + shift + 8)
      }
      func isFree(_ box: Box) -> Bool {
        box.left >= 0 && box.right <= size.width && box.bottom >= 2 && box.top <= size.height
          && !taken.contains(where: box.meets) && !marks.contains(where: box.meets)
      }
      var (isLeft, shift): (Bool, Double) = (point.x > size.width / 2, 0)
      // On a line rather than on words or a mark, where there is no other place.
      let free = places.filter { isFree(box($0.isLeft, $0.shift)) }
      let best = free.first { place in !drawn.contains(where: box(place.isLeft, place.shift).meets) }
      if let found = best ?? free.first { (isLeft, shift) = found }
      taken.append(box(isLeft, shift))
      let x: Double = point.x + (isLeft ? -9 : 9)
      let y: Double = point.y + shift
      func graph(_ x: Double, _ y: Double) -> String { "graph \(x / size.width),\(y / size.height)" }
      let colour = colour(note.style)
      if abs(shift) > 16 {
        lines.append(
          "set arrow from \(graph(point.x, point.y)) to \(graph(x, y)) nohead lc rgb \"\(colour)\" lw 0.5 back"
        )
      }
      lines.append(
        "set label \(quoted(note.text)) at \(graph(x, y)) \(isLeft ? "right" : "left") font \",11\" "
          + "textcolor rgb \"\(colour)\" front")
    }
    return lines
  }

  /// Small boxes that cover a line of straight pieces.
  private static func boxes(along points: [(x: Double, y: Double)]) -> [Box] {
    zip(points, points.dropFirst()).flatMap { from, to -> [Box] in
      let (across, up): (Double, Double) = (to.x - from.x, to.y - from.y)
      let length: Double = max(abs(across), abs(up))
      guard length.isFinite else { return [] }
      let pieces = max(1, min(500, Int(length / 4)))
      return (0...pieces).map { piece in
        let share = Double(piece) / Double(pieces)
        let (x, y): (Double, Double) = (from.x + share * across, from.y + share * up)
        return Box(left: x - 2, right: x + 2, bottom: y - 2, top: y + 2)
      }
    }
  }
}
