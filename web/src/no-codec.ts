// In place of decompressors that neither StainGrid's results nor its inputs need.
export default class { static fromConfig(): never { throw new Error("This page does not decode that compression."); } }
