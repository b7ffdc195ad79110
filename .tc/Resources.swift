struct PackageResources { static let report_css: [UInt8] = []; static let report_js: [UInt8] = [] }
