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
  /// Each stands beside its point, on the side where there is room, moved up or down where another one or a point is in its
  /// way; a line then leads to it.
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
    let points = panel.notes.map {
      (
        x: place($0.x, across, panel.x.scale) * size.width,
        y: place($0.y, upwards, panel.y.scale) * size.height
      )
    }
    let marks = points.map { Box(left: $0.x - 5, right: $0.x + 5, bottom: $0.y - 5, top: $0.y + 5) }
    var taken: [Box] = []
    var lines: [String] = []
    for (note, point) in zip(panel.notes, points) {
      // Letters of size 11 are 7 pixels wide and 16 apart, as near as placing needs it.
      let width = 7 * Double(note.text.count { !"\\{}".contains($0) }) + 4
      func box(_ isLeft: Bool, _ shift: Double) -> Box {
        let start = isLeft ? point.x - 9 - width : point.x + 9
        return Box(left: start, right: start + width, bottom: point.y + shift - 8, top: point.y + shift + 8)
      }
      func isFree(_ box: Box) -> Bool {
        box.left >= 0 && box.right <= size.width && box.bottom >= 2 && box.top <= size.height
          && !taken.contains(where: box.meets) && !marks.contains(where: box.meets)
      }
      let shifts = [0.0] + (1...10).flatMap { [16 * Double($0), -16 * Double($0)] }
      let found = shifts.lazy.flatMap { shift in [false, true].map { (isLeft: $0, shift: shift) } }
        .first { isFree(box($0.isLeft, $0.shift)) }
      let (isLeft, shift) = found ?? (point.x > size.width / 2, 0)
      taken.append(box(isLeft, shift))
      let (x, y) = (point.x + (isLeft ? -9 : 9), point.y + shift)
      func graph(_ x: Double, _ y: Double) -> String { "graph \(x / size.width),\(y / size.height)" }
      let colour = colours[note.style % colours.count]
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
}
