#define IS_ON 1
inline int limit = 3;
