/// A figure: panels of curves, side by side or one below the other, drawn by gnuplot in the one style of the house.
///
/// ```swift
/// let points = zip(lengths, seconds).map { Figure.Point(x: $0, y: $1) }
/// let panel = Figure.Panel(
///   x: .init("sequence length n (tokens)", .length), y: .init("time of a pass", .seconds),
///   curves: [.init(label: "full", points: points, style: 0)])
/// let files = try await Gnuplot.draw(Figure(title: "", panels: [panel]), to: "time.svg")
/// ```
public struct Figure: Sendable {
  /// Points of one curve, its law, and its name in the legend.
  public struct Curve: Sendable {
    /// The name in the legend, with gnuplot's mark-up; empty to leave it out.
    public var label: String
    /// The points by rising x.
    public var points: [Point]
    /// The fitted curve with its band, sampled; empty for none.
    public var law: [Point]
    /// The place in the palette; curves of the same thing in several panels share it.
    public var style: Int
    /// Whether the law is dashed.
    public var isDashed = false
    /// What the band is, in the legend; empty to leave it out.
    public var bandLabel = ""
    /// The name without mark-up, where a page shows the value of a point; the label by default.
    public var name: String?

    /// Creates a curve.
    public init(label: String, points: [Point] = [], law: [Point] = [], style: Int) {
      self.label = label
      self.points = points
      self.law = law
      self.style = style
    }

    /// A style without colour, for guides.
    public static let grey = 7
  }

  /// A point that was measured, or one of a fitted curve.
  public struct Point: Sendable {
    /// The variable.
    public let x: Double
    /// The value.
    public let y: Double
    /// The lower end of its spread or band, when known.
    public let low: Double?
    /// The upper end of its spread or band, when known.
    public let high: Double?

    /// Creates a point.
    public init(x: Double, y: Double, low: Double? = nil, high: Double? = nil) {
      (self.x, self.y, self.low, self.high) = (x, y, low, high)
    }
  }

  /// Words beside a point.
  public struct Note: Sendable {
    /// Where the point is.
    public let x: Double
    /// Where the point is.
    public let y: Double
    /// The words, with gnuplot's mark-up.
    public let text: String
    /// The place in the palette.
    public let style: Int

    /// Creates words beside a point.
    public init(x: Double, y: Double, text: String, style: Int) {
      (self.x, self.y, self.text, self.style) = (x, y, text, style)
    }
  }

  /// One pair of axes.
  public struct Panel: Sendable {
    /// The title above it.
    public var title: String
    /// The axis across.
    public var x: Axis
    /// The axis upwards.
    public var y: Axis
    /// Its curves.
    public var curves: [Curve]
    /// A dashed guide at a y, such as 1 for "as fast as the baseline".
    public var guide: Double?
    /// Whether points without a law are joined.
    public var joinsPoints = true
    /// Words beside points, which need no legend then.
    public var notes: [Note] = []
    /// Its height relative to that of other panels.
    public var height: Double

    /// Creates a panel.
    public init(
      title: String = "", x: Axis, y: Axis, curves: [Curve] = [], guide: Double? = nil, height: Double = 1
    ) {
      self.title = title
      self.x = x
      self.y = y
      self.curves = curves
      self.guide = guide
      self.height = height
    }

    /// Whether nothing can be seen in it.
    var isEmpty: Bool { !curves.contains { !$0.points.isEmpty || $0.law.contains { $0.y.isFinite } } }
  }

  /// An axis: what stands along it, and how it is divided.
  public struct Axis: Hashable, Sendable {
    /// The quantity, with its unit where the numbers at the ticks do not have it.
    public var label: String
    /// How it is divided.
    public var scale: Scale

    /// Creates an axis.
    public init(_ label: String, _ scale: Scale) {
      self.label = label
      self.scale = scale
    }
  }

  /// How panels stand to each other.
  public enum Arrangement: Sendable {
    /// Side by side, on the same axes.
    case row
    /// One below the other, each on axes of its own.
    case column
  }

  /// The title of the whole.
  public var title: String
  /// The panels, from the left or from above.
  public var panels: [Panel]
  /// How they stand.
  public var arrangement: Arrangement

  /// Panels that the axes have room for besides the figure's own: those that it stands beside on a page.
  var companions: [Panel] = []

  /// Creates a figure. Panels with nothing in them are left out.
  public init(title: String, panels: [Panel], arrangement: Arrangement = .row) {
    self.title = title
    self.panels = panels.filter { !$0.isEmpty }
    self.arrangement = arrangement
  }

  /// The figure for a page, on which panels stand beside each other where there is room: those of a row are a figure each, on
  /// the same axes.
  var pieces: [Figure] {
    guard arrangement == .row, panels.count > 1 else { return [self] }
    return panels.map { panel in
      var piece = Figure(title: "", panels: [panel])
      piece.companions = panels
      return piece
    }
  }

  /// The panels in which some curve goes from one place to another: of a single place a table says more.
  public var withoutLonePoints: Figure {
    var figure = self
    figure.panels = panels.filter { panel in
      panel.curves.contains { curve in
        curve.points.contains { $0.x != curve.points[0].x } || curve.law.contains { $0.x != curve.law[0].x }
      }
    }
    return figure
  }

  /// The same points without their laws.
  public var withoutLaws: Figure {
    var figure = self
    for panel in panels.indices {
      for curve in panels[panel].curves.indices { figure.panels[panel].curves[curve].law = [] }
    }
    return figure
  }

  /// Colours that people with any colour vision can tell apart (Okabe and Ito, 2008), darkened for thin lines.
  static let colours = [
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B8860B", "#56B4E9", "#7F3C8D", "#6E6E6E", "#11A579",
    "#E73F74",
  ]
  /// The same on a dark ground: as far from each other, and lighter.
  static let darkColours = [
    "#3D8FE0", "#F0833A", "#2DBE8F", "#DDA0C3", "#D9AE3C", "#7CC8F2", "#B57BC8", "#A3A3A3", "#4CC9A4",
    "#F0709A",
  ]
  /// gnuplot's point types, all of different shape: disc, square, triangle, diamond, ring, open square, cross, …
  static let shapes = [7, 5, 9, 13, 6, 11, 4, 2, 8, 12]

  /// The colour at a place in the palette.
  static func colour(_ style: Int) -> String { colours[style % colours.count] }

  /// The shape at a place in the palette: where colours begin again, shapes are one further, so that a hundred curves differ.
  static func shape(_ style: Int) -> Int { shapes[(style + style / colours.count) % shapes.count] }
}
