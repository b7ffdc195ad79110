/// A figure: panels of curves over one variable, drawn by gnuplot.
public struct Figure: Sendable {
  /// Points of one curve, its law, and its name in the legend.
  public struct Curve: Sendable {
    /// The name in the legend.
    public var label: String
    /// The points by rising x.
    public var points: [Point]
    /// The fitted curve with its band, sampled; empty for none.
    public var law: [Sample]
    /// The place in the palette; curves of the same thing in several panels share it.
    public var style: Int

    /// Creates a curve.
    public init(label: String, points: [Point], law: [Sample] = [], style: Int) {
      self.label = label
      self.points = points
      self.law = law
      self.style = style
    }
  }

  /// A measured point.
  public struct Point: Sendable {
    /// The variable.
    public let x: Double
    /// The value.
    public let y: Double
    /// The lower end of its spread, when known.
    public let low: Double?
    /// The upper end of its spread, when known.
    public let high: Double?

    /// Creates a point.
    public init(x: Double, y: Double, low: Double? = nil, high: Double? = nil) {
      (self.x, self.y, self.low, self.high) = (x, y, low, high)
    }
  }

  /// A point of a fitted curve.
  public struct Sample: Sendable {
    /// The variable.
    public let x: Double
    /// The law's value.
    public let y: Double
    /// The lower end of the band; `nil` when it cannot be given.
    public let low: Double?
    /// The upper end of the band.
    public let high: Double?

    /// Creates a sample.
    public init(x: Double, y: Double, low: Double?, high: Double?) {
      (self.x, self.y, self.low, self.high) = (x, y, low, high)
    }
  }

  /// One pair of axes.
  public struct Panel: Sendable {
    /// The title above it.
    public var title: String
    /// Its curves.
    public var curves: [Curve]
    /// A dashed guide at a y, such as 1 for "as fast as the baseline".
    public var guide: Double?

    /// Creates a panel.
    public init(title: String, curves: [Curve], guide: Double? = nil) {
      self.title = title
      self.curves = curves
      self.guide = guide
    }
  }

  /// How an axis is divided and labelled.
  public enum Axis: Sendable {
    /// Lengths: powers of two.
    case length
    /// Seconds, with SI prefixes.
    case seconds
    /// Bytes, with binary prefixes.
    case bytes
    /// A positive number over decades.
    case number
    /// A share from 0 to 1, linear, in percent.
    case share
    /// A number on a linear axis.
    case plain
  }

  /// The title of the whole.
  public var title: String
  /// The x axis in words, with its unit.
  public var xLabel: String
  /// The y axis in words, with its unit.
  public var yLabel: String
  /// How x is divided.
  public var xAxis: Axis
  /// How y is divided.
  public var yAxis: Axis
  /// The panels, side by side.
  public var panels: [Panel]

  /// Creates a figure.
  public init(
    title: String, xLabel: String, yLabel: String, xAxis: Axis = .length, yAxis: Axis, panels: [Panel]
  ) {
    self.title = title
    self.xLabel = xLabel
    self.yLabel = yLabel
    self.xAxis = xAxis
    self.yAxis = yAxis
    self.panels = panels
  }

  /// Colours that people with any colour vision can tell apart (Okabe and Ito, 2008), darkened for thin lines.
  static let colours = [
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B8860B", "#56B4E9", "#7F3C8D", "#6E6E6E", "#11A579",
    "#E73F74",
  ]
  /// gnuplot's point types, all of different shape: disc, square, triangle, diamond, ring, open square, cross, …
  static let shapes = [7, 5, 9, 13, 6, 11, 4, 2, 8, 12]
}
