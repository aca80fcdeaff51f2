// One GRU step in Eigen, its sizes known to the compiler: SIZES is a list of SIZE(e, u).
//
// What a step reads stands in one column, [h x 1], so that the two gates are one product, with the bias as the last column
// of its matrix, and the candidate another, of [r * h x 1].
#include <Eigen/Core>

#include <cstddef>
#include <string>

namespace {

struct Steps {
    virtual ~Steps() = default;
    virtual void run(const float *X, std::ptrdiff_t frames, std::ptrdiff_t turns, float *h) = 0;
};

template <int e, int u> struct Layer final : Steps {
    static constexpr int depth = u + e + 1;
    Eigen::Matrix<float, 2 * u, depth> gates;
    Eigen::Matrix<float, u, depth> candidate;
    Eigen::Matrix<float, depth, 1> row, reset;
    Eigen::Matrix<float, 2 * u, 1> rz;
    Eigen::Matrix<float, u, 1> hh;

    Layer(const float *of_gates, const float *of_candidate) : gates(of_gates), candidate(of_candidate) {
        row(depth - 1) = reset(depth - 1) = 1;
    }

    template <int rows>
    static void multiply(const Eigen::Matrix<float, rows, depth> &W, const Eigen::Matrix<float, depth, 1> &x,
                         Eigen::Matrix<float, rows, 1> &to) {
        if constexpr (u <= 16) // unrolled here, called there: as measured
            to = W.lazyProduct(x);
        else
            to.noalias() = W * x;
    }

    void step(const float *frame) {
        const Eigen::Map<const Eigen::Matrix<float, e, 1>> x(frame);
        auto h = row.template head<u>();
        row.template segment<e>(u) = reset.template segment<e>(u) = x;
        multiply(gates, row, rz);
        rz = rz.array().logistic();
        reset.template head<u>() = rz.template head<u>().cwiseProduct(h);
        multiply(candidate, reset, hh);
        hh = hh.array().tanh();
        h = hh + rz.template tail<u>().cwiseProduct(h - hh);
    }

    void run(const float *X, std::ptrdiff_t frames, std::ptrdiff_t turns, float *h) override {
        Eigen::Map<Eigen::Matrix<float, u, 1>> state(h);
        row.template head<u>() = state;
        for (std::ptrdiff_t turn = 0; turn < turns; turn++)
            for (std::ptrdiff_t i = 0; i < frames; i++) step(X + i * e);
        state = row.template head<u>();
    }
};

} // namespace

#define API extern "C" __attribute__((visibility("default")))

// Weights with a row for each number that is read, [V; U; b]: of r and z side by side (u + e + 1, 2u), of hh
// (u + e + 1, u). NULL where the size is not of the list.
API void *eigen_new(int elements, int units, const float *of_gates, const float *of_candidate) {
#define SIZE(e, u) \
    if (elements == e && units == u) return static_cast<Steps *>(new Layer<e, u>(of_gates, of_candidate));
    SIZES
    return nullptr;
}

API void eigen_delete(void *steps) { delete static_cast<Steps *>(steps); }

// `turns` times through X (frames, e), one sample; h (u) in and out.
API void eigen_steps(void *steps, const float *X, std::ptrdiff_t frames, std::ptrdiff_t turns, float *h) {
    static_cast<Steps *>(steps)->run(X, frames, turns, h);
}

API const char *eigen_version() {
    static const std::string version = std::to_string(EIGEN_WORLD_VERSION) + "." + std::to_string(EIGEN_MAJOR_VERSION) +
        "." + std::to_string(EIGEN_MINOR_VERSION);
    return version.c_str();
}
